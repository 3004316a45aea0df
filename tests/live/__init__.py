"""A generated project as its owner runs it: real servers, and the programs that stand around them."""
