"""The tour: every service and every pattern, each shown live, and checked."""

from netdemo.tour.site import Site, tour_site
from netdemo.tour.stops import STOPS, Stop
from netdemo.tour.visit import Mark, Visit, visit

__all__ = ["STOPS", "Mark", "Site", "Stop", "Visit", "tour_site", "visit"]
