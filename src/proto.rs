//! The generated gRPC types of `proto/`.

#![allow(missing_docs, clippy::all)]
tonic::include_proto!("pontoon.v1");
