//! boss-server: the control plane's replica. This file is only the map, in reading order.

#![allow(unexpected_cfgs, reason = "fuzzers are built with cfg(fuzzing), which Cargo does not know")]

pub mod config;

pub mod app;
pub mod http;
pub mod listeners;

pub mod admission;
pub mod api;
pub mod audit;
pub mod auth;
mod certificates;
pub mod members;
pub mod reads;
pub mod sealing;
pub mod turns;
pub mod writes;

pub mod controllers;
pub mod scheduler;
pub mod sessions;

#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod gauges;
pub mod metric_definitions;
