"""The same seven answers, written for each framework as its user would write them."""
