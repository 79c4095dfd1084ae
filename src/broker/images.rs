//! The names of images, each kept once for all devices that run it. It knows no device.

use std::collections::BTreeSet;
use std::sync::Arc;

/// How many are known. An operator's devices run a handful; beyond this they are somebody's invention, and
/// forgetting all of them costs little.
const IMAGES_MAX: usize = 256;

/// The images that devices have named.
#[derive(Debug, Default)]
pub(super) struct Images(BTreeSet<Arc<str>>);

impl Images {
    /// The one copy of this name.
    pub(super) fn shared(&mut self, image: &str) -> Arc<str> {
        if let Some(known) = self.0.get(image) {
            return known.clone();
        }
        if self.0.len() >= IMAGES_MAX {
            self.0.clear();
        }
        let new: Arc<str> = image.into();
        self.0.insert(new.clone());
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_of_one_image_share_its_name_and_inventions_do_not_pile_up() {
        let mut images = Images::default();
        let (first, second) = (images.shared("24.04/pine"), images.shared("24.04/pine"));
        assert!(Arc::ptr_eq(&first, &second));
        for number in 0..3 * IMAGES_MAX {
            images.shared(&format!("invented/{number}"));
        }
        assert!(images.0.len() <= IMAGES_MAX);
    }
}
