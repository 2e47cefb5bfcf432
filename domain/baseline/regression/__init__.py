"""The time-of-week and temperature regression of LBNL (TOWT) as a baseline.

Mathieu, Price, Kiliccote and Piette, "Quantifying changes in building electricity use, with application to demand
response", IEEE Transactions on Smart Grid 2 (2011) 507-518.
"""
