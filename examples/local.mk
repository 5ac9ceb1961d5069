# One file each; the tests build and run them all.
exampledir = $(pkgdatadir)/examples
dist_example_DATA = \
	%D%/quickstart.vmoe \
	%D%/cifar10_convnext_moe.vmoe \
	%D%/cifar10_vit_moe.vmoe \
	%D%/convnext_tiny_last2.vmoe \
	%D%/vit_small_every2.vmoe \
	%D%/own_block.vmoe \
	%D%/gmlp.vmoe
