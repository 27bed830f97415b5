//! The view of a deployment on a terminal while it happens. What it shows is made by [`frame`] and [`weather`], which
//! only compute; [`Screen`] draws it.

mod backfill;
mod bar;
mod frame;
mod screen;
mod weather;

pub use bar::OneBar;
pub use frame::frame;
pub use screen::Screen;
pub use weather::Weather;
