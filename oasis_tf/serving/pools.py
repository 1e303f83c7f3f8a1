"""Work in threads, for which a coroutine waits."""

import asyncio


async def run_in(pool, function, *arguments, drop=None):
    """Returns what a function returns in a thread of a pool.

    Args:
        pool: `concurrent.futures.Executor`.
        function, *arguments: to call there.
        drop: function to which the result goes where nobody waits for it any
            more.
    """
    future = pool.submit(function, *arguments)
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        if drop is not None:
            future.add_done_callback(lambda done: _drop(done, drop))
        raise
    finally:
        # An error in it knows this frame: in a circle, both would stay, and
        # with them what the function had in its hands.
        del future


def _drop(future, drop):
    # One that had not begun will not.
    if not future.cancelled() and future.exception() is None:
        drop(future.result())
