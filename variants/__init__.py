"""Variants of a role: one file each, found by looking into the role's folder, with settings beside the class."""
