"""Tables and figures from the files that the other rooms have written."""
