//! The edges of what is allowed: every bit pattern, every size, every shape and every layout.
//!
//! Never a panic, and what is accepted keeps what it promises.

mod numbers;
mod sizes;
mod states;
