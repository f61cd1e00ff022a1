"""Other people's servers, installed on request, under the same load on the same cores."""
