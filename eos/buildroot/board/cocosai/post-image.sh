#!/bin/sh
# Makes the files of an EOS image out of kernel and root file system: hash
# tree, initramfs, unified kernel image, reference values and checksums, with
# the code that the other builder uses too.
set -eu

images=$1
project=$(cd "$BR2_EXTERNAL_COCOSAI_PATH/../.." && pwd)

cd "$project"
exec node --import tsx eos/buildroot/finish.ts \
	--images "$images" --target "$TARGET_DIR" --out "$images/eos"
