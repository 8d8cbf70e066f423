"""Everything that udamon writes as a file or keeps for a time.

Other users may be able to write in the same directory, and udamon is often root: nothing here decides by a name what
it then opens by that name again.
"""
