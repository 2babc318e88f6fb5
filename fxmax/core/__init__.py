"""What rules, passes and the walk all speak: the rule table, a rule's context, types, weights."""
