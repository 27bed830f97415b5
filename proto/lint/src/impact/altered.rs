//! The table that an ALTER TABLE is about.

use super::world::World;

/// The table that is altered, for its actions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Altered {
    pub(super) oid: u32,
    /// Whether what inherits from it is altered too.
    pub(super) tree: bool,
}

/// It, and what is altered with it.
pub(super) fn tree(world: &World, altered: Altered) -> Vec<u32> {
    if altered.tree { world.tree(altered.oid) } else { vec![altered.oid] }
}
