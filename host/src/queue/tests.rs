use std::thread;

use embassy_futures::{block_on, poll_once};

use super::*;

#[test]
fn pieces_arrive_in_order_from_either_side() {
    let (input, mut output) = queue::<Vec<u8>>(3);
    let thread = thread::spawn(move || (0..100).for_each(|at| input.blocking_send(vec![at]).unwrap()));
    for at in 0..100 {
        assert_eq!(block_on(output.next()), Some(vec![at]));
    }
    assert_eq!(block_on(output.next()), None);
    thread.join().unwrap();
    let (input, mut output) = queue::<Vec<u8>>(3);
    let thread = thread::spawn(move || (0..100).for_each(|at| assert_eq!(output.blocking_next(), Some(vec![at]))));
    (0..100).for_each(|at| block_on(input.send(vec![at])).unwrap());
    thread.join().unwrap();
    assert!(block_on(input.send(vec![])).is_err());
}

#[test]
fn a_full_queue_makes_its_input_wait() {
    let (input, mut output) = queue::<Vec<u8>>(2);
    for at in 0..2 {
        assert!(poll_once(input.send(vec![at])).is_ready());
    }
    assert!(poll_once(input.send(vec![2])).is_pending(), "and lost");
    assert_eq!(block_on(output.next()), Some(vec![0]));
    // All pieces were taken at once, so that there is room for as many.
    for at in 3..5 {
        assert!(poll_once(input.send(vec![at])).is_ready());
    }
    assert!(poll_once(input.send(vec![5])).is_pending());
    for at in [1, 3, 4] {
        assert_eq!(block_on(output.next()), Some(vec![at]));
    }
    assert!(poll_once(output.next()).is_pending());
}

#[test]
fn buffers_are_used_again() {
    let (input, mut output) = queue::<Vec<u8>>(1);
    assert_eq!(input.buffer().capacity(), 0);
    block_on(input.send(Vec::with_capacity(77))).unwrap();
    let piece = block_on(output.next()).unwrap();
    output.give_back(piece);
    assert!(input.buffer().capacity() >= 77);
    drop(input);
    output.give_back(Vec::new());
}
