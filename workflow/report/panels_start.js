"use strict";
Panels.start([Planner.make, Valleys.make, Surface.make]);
