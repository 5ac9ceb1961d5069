# The library of the language: .vmoe files only.
stdlibdir = $(pkgdatadir)/stdlib
dist_stdlib_DATA = \
	%D%/layers.vmoe \
	%D%/vit.vmoe \
	%D%/deit.vmoe \
	%D%/convnext.vmoe \
	%D%/convnext_iso.vmoe \
	%D%/router.vmoe \
	%D%/placement.vmoe \
	%D%/recipe.vmoe \
	%D%/data.vmoe
