//! The lab on real namespaces. Needs root, iproute2 and nft.
