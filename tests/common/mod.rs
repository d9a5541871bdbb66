//! What several integration tests need.

#![allow(dead_code, unreachable_pub, reason = "each test is a program of its own and needs a part of it")]

pub mod exposition;
pub mod postgres;
