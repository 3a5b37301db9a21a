"""The commands `measure` and `compare`: any model on your text, with a dataset and a report of each.

From Python: `measure.load.load` gives a model and its tokenizer, `measure.measure.measure` reads a text with them.
"""
