"""Dataset modules, used in the order catalogue -> fetch -> extract -> audit -> prepare -> datasets.

None of the modules before `datasets` imports torch.
"""
