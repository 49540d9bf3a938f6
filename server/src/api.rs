//! The gRPC services. Knows no controller and no scheduler.
