"""What acting is worth, measured on real kernels in a guest: memory taken out, speed lost.

reclaim.py   udamon reclaim beside DAMON_RECLAIM and without either   (python -m bench.acting.reclaim)
inside.py    what runs in the guest: the workload, whoever acts, and looks at the memory
single.py    measurements of one run in one guest: nodes.py and pressure.py
collapse.py, programs.py   on this machine
"""
