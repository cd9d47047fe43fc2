"""The layers, a file for each chapter. Every class is a forward formula and a backward formula."""
