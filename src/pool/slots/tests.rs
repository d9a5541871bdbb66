//! The machine, event by event.
