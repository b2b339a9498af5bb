"""What is special about each kind, a file each. Knows the store and the rules, never HTTP."""
