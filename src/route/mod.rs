//! Where a request goes: decisions derived whole from a topology.

pub mod balance;
pub mod consistency;
pub mod leaning;
pub mod router;
pub mod selection;
pub mod table;
