"""The kinds: what differs between them. Know the store and the rules, never HTTP."""
