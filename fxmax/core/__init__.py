"""What rules, passes and the walk all speak: the rule table, a rule's context, types, weights."""

from fxmax import fx as fx  # first of all: it checks torch's version
