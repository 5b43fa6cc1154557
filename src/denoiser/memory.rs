//! What is remembered from one question of a run to the next.

/// The two methods of an adapter that remembers what its parts do, in their order.
macro_rules! memory_of {
    ($($($part:ident).+),+) => {
        fn begin(&mut self) {
            $(self.$($part).+.begin();)+
        }

        fn visit_memory(&mut self, visit: &mut dyn FnMut(&mut Option<V>)) {
            $(self.$($part).+.visit_memory(visit);)+
        }
    };
}

pub(crate) use memory_of;
