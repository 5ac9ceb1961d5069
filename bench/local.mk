# Measurements beside other programs; no test needs them.
EXTRA_DIST += %D%/README.md %D%/compare %D%/compare.py %D%/contenders.py %D%/rows.py %D%/networks.py %D%/peer.py %D%/peak.c \
	%D%/cifar_convnext.vmoe %D%/moe.vmoe
