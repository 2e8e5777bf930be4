"""A budget of calls: some at once after a rest, and a steady pace in the long run."""

from reconciler.loop.budget import Budget


def test_after_a_rest_a_burst_is_free_and_then_the_pace_is_kept() -> None:
    budget = Budget(interval_s=2.0, burst=3)

    assert [budget.wait_s(100.0) for _ in range(4)] == [0.0, 0.0, 0.0, 2.0]
    assert budget.wait_s(101.5) == 0.5
    assert budget.wait_s(102.0) == 0.0
    assert budget.wait_s(102.0) == 2.0


def test_in_the_long_run_there_is_one_call_in_each_interval_however_often_is_asked() -> None:
    budget = Budget(interval_s=2.0, burst=4)

    asked_at_s = [number / 10 for number in range(10_000)]
    assert sum(budget.wait_s(now_s) == 0.0 for now_s in asked_at_s) == 500 + 3
