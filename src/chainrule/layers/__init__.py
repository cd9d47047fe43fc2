"""The layers, a file for each chapter: every class is a forward and a backward formula."""
