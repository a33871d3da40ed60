//! Clock, chance, limits, number text, glob: what knows nothing of Pontoon.

pub mod allow;
pub mod clock;
pub mod gently;
pub mod glob;
pub mod limits;
pub mod lock;
pub mod number;
pub mod planted;
pub mod program;
pub mod remains;
pub mod rows;
pub mod secret;
pub mod slot;
pub mod work;
