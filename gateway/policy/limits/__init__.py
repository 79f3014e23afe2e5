"""What kinds that count share: subjects, costs, what is told of a limit."""
