"""Namespaces are served in turn."""

from controller.cluster.fair_queue import FairQueue


def a_queue(*entries):
    queue: FairQueue[int] = FairQueue()
    for namespace, entry in entries:
        queue.push(namespace, entry)
    return queue


def emptied(queue):
    return [queue.pop() for _ in range(len(queue))]


def test_namespaces_are_served_in_turn_and_each_in_its_own_order():
    queue = a_queue(("a", 1), ("a", 2), ("a", 3), ("b", 4), ("c", 5), ("b", 6))
    assert emptied(queue) == [1, 4, 5, 2, 6, 3]
    assert queue.pop() is None
    assert queue._entries == {}


def test_who_is_not_allowed_waits_and_keeps_its_place():
    queue = a_queue(("a", 1), ("b", 2), ("a", 3))
    assert queue.pop(lambda namespace: namespace != "a") == 2
    assert queue.pop(lambda namespace: namespace == "b") is None
    assert emptied(queue) == [1, 3]


def test_what_is_removed_is_not_served():
    queue = a_queue(("a", 1), ("a", 2), ("b", 3))
    for namespace, entry in (("a", 1), ("b", 3), ("b", 3), ("c", 9)):
        queue.remove(namespace, entry)
    assert (len(queue), queue.waiting("a"), queue.waiting("b")) == (1, 1, 0)
    assert emptied(queue) == [2]


def test_the_longest_is_known_and_loses_its_oldest():
    queue = a_queue(("a", 1), ("b", 2), ("b", 3))
    assert queue.longest() == "b"
    assert queue.pop_of("b") == 2
    assert emptied(queue) == [1, 3]
