"""From an nn.Module to an `ExportedProgram` at the level the rule table speaks."""
