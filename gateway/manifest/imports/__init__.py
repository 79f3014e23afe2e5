"""Documents of other worlds (OpenAPI, WSDL, CSDL, a database's tables) made into a component's manifest."""
