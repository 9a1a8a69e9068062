"""Is it true of this contact? One tree of conditions, its parser, and its compilers.

`ast` is the tree, `parse` reads it from plain data and reports every problem, `operators` is the one table of
comparisons, `samples` draws random parts, `needs` says what a contact must remember for a condition to be answered,
`to_python` compiles a tree to a closure, `text` prints it for people.
"""
