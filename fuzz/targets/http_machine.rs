//! The program of a target; see `rmail_fuzz`.

#![cfg_attr(fuzzing, no_main)]

rmail_fuzz::program!("http_machine");
