"""What is pickled of a step's call."""

from __future__ import annotations

import pickle
import traceback

from planit.job import payload
from planit.job.call import Call
from planit.record.call_file import Limits


def test_the_traceback_of_a_function_that_cannot_be_imported_names_its_file() -> None:
    def fails() -> None:
        raise ValueError("no luck")

    pickled = payload.dump({"train": Call(fails, (), {})}, Limits(1, 0))
    function, args, kwargs = pickle.loads(pickled.calls[0])
    try:
        function(*args, **kwargs)
    except ValueError as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
    assert frame.filename == __file__
    assert frame.line == 'raise ValueError("no luck")'
