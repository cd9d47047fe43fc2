"""From a table with numbers, categories and gaps to an array, and from a column of answers to class
indices. What was learned of the training rows is plain JSON, which a model keeps in its metadata.

A table is a list of rows, as `csv.DictReader` gives them, or a mapping of columns, such as a frame
of pandas. Numbers may be spelled, and true and false are 1 and 0. A gap is None, NaN, an empty
text, or one of NA, N/A, NaN, null and ?, in any case.
"""

from .columns import column_kinds, encode_classes, is_gap, take_classes
from .encoder import TableEncoder
from .files import read_csv
from .report import class_report

__all__ = [
    "TableEncoder",
    "class_report",
    "column_kinds",
    "encode_classes",
    "is_gap",
    "read_csv",
    "take_classes",
]
