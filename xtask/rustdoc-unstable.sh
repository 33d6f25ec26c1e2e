#!/bin/sh
# rustdoc with the options that stable leaves out. In the place of cargo's `RUSTDOC`, so that it alone gets this variable:
# build scripts look at it too, and cargo would build every dependency again.
RUSTC_BOOTSTRAP=1 exec rustdoc "$@"
