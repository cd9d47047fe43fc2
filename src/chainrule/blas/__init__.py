"""The library of matrix products that NumPy carries: which kernels it has, how fast they are here,
and how to start a script with the best. `import chainrule` loads none of it.
"""
