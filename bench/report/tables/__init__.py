"""Tables as HTML, CSV, Markdown and LaTeX."""
