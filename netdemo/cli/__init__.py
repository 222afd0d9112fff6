"""The ``netdemo`` command: one module a family of verbs."""
