"""From names to parts: what a recipe says, the agent that it names, and what this machine makes of it.

Whoever trains or opens a run comes through here; it knows no run folder.
"""

from .find import recipe_names as recipe_names
from .recipe import Recipe as Recipe
from .recipe import validate_hyper as validate_hyper
