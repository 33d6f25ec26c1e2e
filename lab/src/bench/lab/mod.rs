//! What the lab's scenarios promise of obit: nobody's call fails, no run takes longer than those in which nothing happens, and pods
//! that come and go are in and out of rotation in time. The runs are the lab's own.

mod part;

pub use part::Part;
